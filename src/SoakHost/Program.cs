Console.WriteLine("soakhost");
